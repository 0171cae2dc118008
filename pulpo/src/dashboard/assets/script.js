// Brings the parts of a page that are marked `data-live` up to date, when the
// server says that something has changed. Without it each page works too.
"use strict";

(() => {
  const live = document.querySelectorAll("[data-live]");
  const status = document.querySelector("footer .live");
  if (live.length === 0 || !window.EventSource) return;

  // What somebody is about to use stays as it is.
  const inUse = (part) =>
    (part.contains(document.activeElement) && document.activeElement !== document.body) ||
    part.querySelector("input[type=checkbox]:checked") !== null;

  let loading = false;
  const load = async () => {
    if (loading || document.hidden) return;
    loading = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const name = part.getAttribute("data-live");
        const other = fresh.querySelector(`[data-live="${CSS.escape(name)}"]`);
        if (other && !inUse(part)) part.replaceChildren(...other.childNodes);
      }
    } catch {
      // The next event tries again.
    } finally {
      loading = false;
    }
  };

  const events = new EventSource(document.body.dataset.events);
  events.onopen = () => {
    status.hidden = false;
    status.textContent = "Live";
  };
  events.onerror = () => {
    status.textContent = "Not connected";
  };
  events.addEventListener("change", load);
  events.addEventListener("problem", () => {
    status.textContent = "The queue does not answer";
  });
  // A task changes nothing but itself.
  if (document.querySelector('[data-live="task"] progress')) setInterval(load, 1000);
  addEventListener("pagehide", () => events.close());
})();
