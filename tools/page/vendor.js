/**
 * Copies the page's libraries from node_modules into static/vendor, as ES modules that a browser can load unchanged.
 *
 * Bare imports become relative ones: an import map would be an inline script, which the page's Content-Security-Policy
 * forbids. After changing a version in package.json, run `npm ci && npm run vendor` and commit the changed files.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const VENDOR = new URL("../../src/hannun/web/static/vendor/", import.meta.url);
const MODULES = new URL("./node_modules/", import.meta.url);

/** uPlot's ES module is not minified (150 kB). Its minified form is a classic script; this line makes it a module. */
const AS_MODULE = "export default uPlot;\n";

/**
 * The vendored files. `script` marks a file that is not an ES module: it has no imports. `types` is the content of the
 * declaration file that tsc reads instead of the minified file; tsc finds the named package in tools/page/node_modules.
 */
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

/** Remove the reference to the source map, which is not vendored. @param {string} source */
const withoutSourceMap = (source) =>
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

/** The npm package of a path in node_modules. @param {string} from */
const packageOf = (from) => from.split("/").slice(0, from.startsWith("@") ? 2 : 1).join("/");

const rows = FILES.map(({ to, from, append, types, script }) => {
  const name = packageOf(from);
  const { version, license } = JSON.parse(readFileSync(new URL(`${name}/package.json`, MODULES), "utf8"));
  const source = withoutSourceMap(readFileSync(new URL(from, MODULES), "utf8"));
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
Three changes are made: bare imports become relative, source map references are removed, and \`uplot.js\` gets one line,
\`export default uPlot;\`.

| file | package | licence | taken from | sha256 |
|---|---|---|---|---|
${rows.join("\n")}
`,
);
