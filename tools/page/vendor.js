/**
 * Copies the page's libraries from node_modules into static/vendor, as ES modules a browser can load as they are.
 *
 * Bare imports become relative ones, because an import map would be an inline script and the page's Content-Security-Policy
 * allows none. Run `npm ci && npm run vendor` after changing a version in package.json, and commit what changed.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const VENDOR = new URL("../../src/hannun/web/static/vendor/", import.meta.url);
const MODULES = new URL("./node_modules/", import.meta.url);

/** uPlot's own ES module is not minified (150 kB); its minified form is a script, to which one line adds the export. */
const AS_MODULE = "export default uPlot;\n";

/** `script` is a script and no module: it imports nothing. `types` is what tsc reads instead of the minified file; it finds the package in our node_modules. */
const FILES = [
  { to: "preact.js", from: "preact/dist/preact.module.js", types: 'export * from "preact";' },
  { to: "preact-hooks.js", from: "preact/hooks/dist/hooks.module.js", types: 'export * from "preact/hooks";' },
  { to: "signals-core.js", from: "@preact/signals-core/dist/signals-core.module.js" },
  { to: "signals.js", from: "@preact/signals/dist/signals.module.js", types: 'export * from "@preact/signals";' },
  { to: "htm.js", from: "htm/dist/htm.module.js", types: 'export { default } from "htm";' },
  { to: "uplot.js", from: "uplot/dist/uPlot.iife.min.js", append: AS_MODULE, types: 'export { default } from "uplot";' },
  { to: "uplot.css", from: "uplot/dist/uPlot.min.css" },
  { to: "swagger-ui.js", from: "swagger-ui-dist/swagger-ui-bundle.js", script: true },
  { to: "swagger-ui.css", from: "swagger-ui-dist/swagger-ui.css", script: true },
];

/** @type {Record<string, string>} */
const RELATIVE = {
  preact: "./preact.js",
  "preact/hooks": "./preact-hooks.js",
  "@preact/signals-core": "./signals-core.js",
};

/** @param {string} source */
const withoutMap = (source) =>
  source
    .replace(/\/\/# sourceMappingURL=.*$/gm, "")
    .replace(/\/\*# sourceMappingURL=.*?\*\/\s*$/gm, "")
    .trimEnd() + "\n";

/** @param {string} source */
const withRelativeImports = (source) =>
  source.replace(/\bfrom ?"([^"./][^"]*)"/g, (_, name) => {
    if (!RELATIVE[name]) throw new Error(`no vendored file for the import "${name}": add it to FILES and RELATIVE`);
    return `from"${RELATIVE[name]}"`;
  });

/** @param {string} from */
const packageOf = (from) => from.split("/").slice(0, from.startsWith("@") ? 2 : 1).join("/");

const rows = FILES.map(({ to, from, append, types, script }) => {
  const name = packageOf(from);
  const { version, license } = JSON.parse(readFileSync(new URL(`${name}/package.json`, MODULES), "utf8"));
  const source = withoutMap(readFileSync(new URL(from, MODULES), "utf8"));
  const text = (script ? source : withRelativeImports(source)) + (append ?? "");
  writeFileSync(new URL(to, VENDOR), text);
  if (types) writeFileSync(new URL(to.replace(/js$/, "d.ts"), VENDOR), `${types}\n`);
  const licence = `LICENSE.${name.replace("@", "").replace("/", "-")}`;
  writeFileSync(new URL(licence, VENDOR), readFileSync(new URL(`${name}/LICENSE`, MODULES)));
  const hash = createHash("sha256").update(text).digest("hex");
  return `| \`${to}\` | ${name} ${version} | ${license}, \`${licence}\` | \`${from}\` | \`${hash}\` |`;
});

writeFileSync(
  new URL("README.md", VENDOR),
  `# Libraries of the page

Copied from their npm packages by \`tools/page/vendor.js\` (\`npm ci && npm run vendor\` in \`tools/page\`); never edited by hand.
Changed on the way: bare imports became relative, the address of the source map went, and \`uplot.js\` got one line,
\`export default uPlot;\`.

| file | package | licence | taken from | sha256 |
|---|---|---|---|---|
${rows.join("\n")}
`,
);
