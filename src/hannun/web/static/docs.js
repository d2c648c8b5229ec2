/** Swagger UI for /openapi.json. It sends requests only to this service. */

/** @type {any} */
const { SwaggerUIBundle } = window;

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api-docs",
  deepLinking: true,
  validatorUrl: null, // the validator would send the URL to a third party
  presets: [SwaggerUIBundle.presets.apis],
});
