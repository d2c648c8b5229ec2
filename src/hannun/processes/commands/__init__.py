"""What the commands of an operator need, opened and checked. A command imports only the module that it needs."""
