/** Keeps the focus of the keyboard where the user is: without it the next Tab would begin at the top of the page. */

/** Move the focus to the heading, or to <main> until the heading appears. @param {HTMLElement} main @returns {(() => void) | undefined} */
export function focusHeading(main) {
  const focus = () => {
    const heading = main.querySelector("h1");
    (heading ?? main).focus({ preventScroll: true });
    return heading !== null;
  };
  if (focus()) return;
  // The user may meanwhile have gone elsewhere: the focus then stays there.
  const changes = new MutationObserver(() => {
    if (document.activeElement !== main || focus()) changes.disconnect();
  });
  changes.observe(main, { childList: true, subtree: true });
  return () => changes.disconnect();
}

/**
 * Where the element with the focus goes away (a retry that succeeded), the heading of its section takes the focus, or that
 * of the view.
 * @param {HTMLElement} main
 */
export function keepFocus(main) {
  /** The focused element and what it stands in, from the inside to the outside; empty while nothing in `main` has the focus. @type {Element[]} */
  let focused = [];
  main.addEventListener("focusin", (event) => {
    focused = pathTo(event.target, main);
  });
  main.addEventListener("focusout", ({ target }) => {
    // A browser may fire it for an element that goes away, too: that one has still to be replaced.
    queueMicrotask(() => {
      if (focused[0] === target && focused[0]?.isConnected) focused = [];
    });
  });
  new MutationObserver(() => {
    if (focused.length === 0 || focused[0]?.isConnected) return;
    const section = focused.find((each) => each.isConnected && each.matches("section"));
    focused = [];
    if (document.activeElement !== document.body) return;
    const heading = section?.querySelector("h2");
    if (!(heading instanceof HTMLElement)) return void focusHeading(main);
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }).observe(main, { childList: true, subtree: true });
}

/** @param {EventTarget | null} target @param {Element} end */
function pathTo(target, end) {
  const path = [];
  for (let each = target instanceof Element ? target : null; each && each !== end; each = each.parentElement) path.push(each);
  return path;
}
