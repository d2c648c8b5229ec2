/** The switch of the theme in the header: by the system, light, dark. */
import { html } from "../html.js";
import { texts, themeChoice } from "../state.js";
import { switchTheme } from "../theme.js";

/** Half of a disc, a sun, a moon. @type {Record<import("../state.js").ThemeChoice, string>} */
const ICON_PATHS = {
  auto: "M10 3a7 7 0 1 0 0 14a7 7 0 1 0 0-14M10 3v14a7 7 0 0 0 0-14z",
  light: "M10 6.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7M10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6l1.4 1.4M4 16l1.4-1.4M14.6 5.4l1.4-1.4",
  dark: "M16.5 12a7 7 0 0 1-8.5-8.5a7 7 0 1 0 8.5 8.5z",
};

export function ThemeSwitch() {
  const choice = themeChoice.value;
  const name = texts.value.theme[choice];
  return html`
    <button type="button" class="button quiet icon theme-switch" aria-label=${name} title=${name} onClick=${switchTheme}>
      <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
        <path d=${ICON_PATHS[choice]} fill=${choice === "light" ? "none" : "currentColor"} fill-rule="evenodd" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />
      </svg>
    </button>
  `;
}
