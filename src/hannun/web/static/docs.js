/** The contract to browse and to try: Swagger UI over /openapi.json. It asks this service and nobody else. */

/** @type {any} */
const { SwaggerUIBundle } = window;

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#contract",
  deepLinking: true,
  validatorUrl: null, // which would send the address to others
  presets: [SwaggerUIBundle.presets.apis],
});
