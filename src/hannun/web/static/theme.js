/**
 * Switches the theme and remembers the choice.
 *
 * The choice is in a cookie and not in the browser's storage, because the service writes it into the document as
 * `data-theme`: the first paint has the right colours without a script.
 */
import { effect } from "./vendor/signals.js";
import { theme, themeChoice } from "./state.js";

const OVER_TLS = location.protocol === "https:";
/** Browsers take a cookie with this prefix from this host only. */
const COOKIE = OVER_TLS ? "__Host-hannun_theme" : "hannun_theme";
const COOKIE_LASTS_S = 365 * 86_400;
/** The choices, in the order of the switch. */
const CHOICES = /** @type {import("./state.js").ThemeChoice[]} */ (["auto", "light", "dark"]);

const root = document.documentElement;

/** Show the theme that follows in the order of the switch, and remember it. */
export function switchTheme() {
  const choice = CHOICES[(CHOICES.indexOf(themeChoice.peek()) + 1) % CHOICES.length] ?? "auto";
  const lastsS = choice === "auto" ? 0 : COOKIE_LASTS_S;
  document.cookie = `${COOKIE}=${choice}; Max-Age=${lastsS}; Path=/; SameSite=Lax${OVER_TLS ? "; Secure" : ""}`;
  themeChoice.value = choice;
}

effect(() => {
  if (themeChoice.value === "auto") delete root.dataset.theme;
  else root.dataset.theme = themeChoice.value;
  // The bar of the browser has the colour of the page. This effect runs again when the system's theme changes, too.
  const colour = theme.value && colourOf(root, "--background");
  for (const meta of document.querySelectorAll("meta[name=theme-color]")) meta.setAttribute("content", colour);
});

/**
 * The value of a colour of the style sheets, such as `--accent`, in the shown theme, for a canvas.
 * @param {Element} element
 * @param {string} name
 */
export function colourOf(element, name) {
  // The property itself has both colours; only a used colour has one.
  const probe = element.appendChild(document.createElement("span"));
  probe.style.color = `var(${name})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
