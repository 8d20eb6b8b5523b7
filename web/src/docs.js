// Shows the server's own OpenAPI document. Nothing is loaded from elsewhere, and no token outlives the page.
/* global SwaggerUIBundle */
SwaggerUIBundle({
  url: '/v1/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  validatorUrl: null,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  filter: true,
  persistAuthorization: false,
  syntaxHighlight: false,
});
