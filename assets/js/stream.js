// The events of the service, for all windows of a browser by one connection: over HTTP/1.1 a browser has six for a host,
// and each open stream takes one. Runs as a shared worker; where there is none, a page runs it for itself.

/// How long to wait, in milliseconds, before a stream that was refused is opened again.
const RETRY = 5000;

/// Takes part, and tells `hear` what is: `{ state }` of the connection, `{ kind }` of each event. What is wanted goes into
/// the function that this answers: `{ url, kinds, after }`, or nothing to leave.
export function connect(hear) {
  let wanted = {};
  let send = alone;
  if (window.SharedWorker) {
    try {
      const worker = new SharedWorker(import.meta.url, { type: "module", name: "events" });
      worker.port.onmessage = ({ data }) => hear(data);
      worker.onerror = () => {
        send = alone;
        send(wanted);
      };
      send = (message) => worker.port.postMessage(message);
    } catch {
      // The browser doesn't allow it here.
    }
  }
  let own = null;
  function alone(message) {
    own ??= stream();
    own(hear, message);
  }
  return (message) => send((wanted = message ?? {}));
}

/// One stream for several pages, each known by the function that tells it.
function stream() {
  const pages = new Map();
  /// Those that may have missed something when the stream opens.
  const behind = new Set();
  let source = null;
  let asked = new Set();
  let isOpen = false;
  let url = "";
  let last = null;
  let retry = null;

  return (page, { url: address, kinds, after }) => {
    if (!kinds) return leave(page);
    url = address;
    pages.set(page, new Set(kinds));
    if (!source && pages.size === 1) last = after;
    if (isBehind(after, last)) behind.add(page);
    if (source && kinds.every((kind) => asked.has(kind))) {
      if (isOpen) opened();
    } else {
      listen();
    }
  };

  function leave(page) {
    pages.delete(page);
    behind.delete(page);
    if (pages.size > 0) return;
    source?.close();
    source = null;
    clearTimeout(retry);
  }

  function listen() {
    source?.close();
    clearTimeout(retry);
    isOpen = false;
    asked = new Set([...pages.values()].flatMap((kinds) => [...kinds]));
    // Without an id to go on from, nobody knows what is missed until it opens.
    if (!last) for (const page of pages.keys()) behind.add(page);
    const address = new URL(url);
    address.searchParams.set("kind", [...asked].join(","));
    if (last) address.searchParams.set("after", last);
    source = new EventSource(address);
    source.addEventListener("open", opened);
    source.addEventListener("error", lost);
    for (const kind of [...asked, "reset"]) source.addEventListener(kind, heard);
  }

  function opened() {
    isOpen = true;
    for (const page of pages.keys()) page({ state: "on" });
    for (const page of behind) page({ kind: "reset" });
    behind.clear();
  }

  function heard({ type, lastEventId, target }) {
    if (target !== source) return;
    last = lastEventId || last;
    for (const [page, kinds] of pages) if (type === "reset" || kinds.has(type)) page({ kind: type });
  }

  function lost({ target }) {
    if (target !== source) return;
    isOpen = false;
    for (const page of pages.keys()) page({ state: "off" });
    // Refused rather than lost: the browser gives up, we don't.
    if (target.readyState !== EventSource.CLOSED) return;
    retry = setTimeout(listen, RETRY);
  }
}

/// Whether events after the one that a page knows of may have gone by on the stream already. Ids are `EPOCH-NUMBER`.
function isBehind(after, last) {
  if (!after || !last) return !after || after !== last;
  const [[epoch, number], [other, reached]] = [after.split("-"), last.split("-")];
  return epoch !== other || Number(number) < Number(reached);
}

if (globalThis.SharedWorkerGlobalScope && self instanceof SharedWorkerGlobalScope) {
  const all = stream();
  self.addEventListener("connect", ({ ports: [port] }) => {
    const page = (message) => port.postMessage(message);
    port.onmessage = ({ data }) => all(page, data);
  });
}
