/** Components of which the code is loaded when they are first shown. */
import { useEffect } from "../vendor/preact-hooks.js";
import { signal } from "../vendor/signals.js";
import { html } from "../html.js";
import { Problem } from "../api.js";
import { ProblemView } from "./problem.js";
import { Skeleton } from "./skeleton.js";

/**
 * A component whose code `load` imports. Until it has arrived, a skeleton stands in its place.
 * @param {() => Promise<any>} load
 */
export function lazy(load) {
  const loaded = signal(/** @type {{ component: any } | null} */ (null));
  const failed = signal(false);
  const start = async () => {
    failed.value = false;
    try {
      loaded.value = { component: await load() };
    } catch {
      // No connection, or a newer version of the service, in which the file has changed.
      failed.value = true;
    }
  };
  return (/** @type {object} */ props) => {
    useEffect(() => {
      if (!loaded.peek()) start();
    }, []);
    // A browser remembers that an import has failed, so that only a new document can load the file.
    if (failed.value) return html`<${ProblemView} problem=${new Problem(0)} subject="user" retry=${() => location.reload()} />`;
    return loaded.value ? html`<${loaded.value.component} ...${props} />` : html`<${Skeleton} tiles=${4} />`;
  };
}
