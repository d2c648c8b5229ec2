"""The doctor: named checks of the running system. `registry` lists them, `examination` runs them."""
