// No validator: it would send the document to a server of Swagger's makers.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#contract", deepLinking: true, validatorUrl: null });
