// Brings the parts of a page that are marked `data-live` up to date, when the
// server says that something has changed. Without it each page works too.
"use strict";

(() => {
  // Escape closes what was unfolded.
  addEventListener("keydown", (event) => {
    const unfolded = event.key === "Escape" && document.activeElement.closest("details[open]");
    if (!unfolded) return;
    unfolded.open = false;
    unfolded.querySelector("summary").focus();
  });

  const live = document.querySelectorAll("[data-live]");
  const status = document.querySelector("footer .live");
  if (live.length === 0 || !window.EventSource) return;

  // What somebody is about to use stays as it is.
  const inUse = (part) =>
    (part.contains(document.activeElement) && document.activeElement !== document.body) ||
    part.querySelector("input[type=checkbox]:checked") !== null;

  // Puts in the new content. What was unfolded stays unfolded.
  const replace = (part, other) => {
    const folds = [...part.querySelectorAll("details")].map((fold) => fold.open);
    part.replaceChildren(...other.childNodes);
    part.querySelectorAll("details").forEach((fold, place) => (fold.open = folds[place] ?? fold.open));
  };

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
        if (other && !inUse(part)) replace(part, other);
      }
    } catch {
      // The next event tries again.
    } finally {
      loading = false;
    }
  };

  const events = new EventSource(document.body.dataset.events);
  const say = (text) => {
    status.hidden = false;
    if (status.textContent !== text) status.textContent = text;
  };
  // A server ends each connection after a while, and the browser connects
  // again within seconds.
  let lost;
  events.onopen = () => {
    clearTimeout(lost);
    lost = undefined;
    say("Live");
  };
  events.onerror = () => {
    lost ??= setTimeout(say, 6000, "Not connected");
  };
  events.addEventListener("change", () => {
    say("Live");
    load();
  });
  events.addEventListener("problem", () => {
    say("The queue does not answer");
  });
  // A task changes nothing but itself.
  if (document.querySelector('[data-live="task"] progress')) setInterval(load, 1000);
  addEventListener("pagehide", () => events.close());
})();
