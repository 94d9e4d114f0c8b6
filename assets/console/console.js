// Starts the interactive console of the API. It lives in a shadow tree, so that its styles and those of the pages don't
// meet, and asks no other host: no validator, no document of another address.
const host = document.getElementById("console");
const dark = matchMedia("(prefers-color-scheme: dark)");

async function readStyles() {
  const text = await (await fetch(new URL("swagger-ui.css", import.meta.url))).text();
  const styles = new CSSStyleSheet();
  // Within a shadow tree its host is what the page's root is elsewhere.
  styles.replaceSync(text.replaceAll("html.dark-mode ", ":host(.dark-mode) "));
  return styles;
}

function chooseColours() {
  host.classList.toggle("dark-mode", dark.matches);
}

async function start() {
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [await readStyles()];
  SwaggerUIBundle({
    domNode: root.appendChild(document.createElement("div")),
    url: document.getElementById("openapi").href,
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    docExpansion: "none",
    filter: true,
    queryConfigEnabled: false,
    tryItOutEnabled: true,
    validatorUrl: null,
  });
}

// What is typed into its fields is no key of the page, which can't see the fields.
host.addEventListener("keydown", (event) => event.stopPropagation());
dark.addEventListener("change", chooseColours);
chooseColours();
start();
