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

  const say = (text) => {
    status.hidden = false;
    if (status.textContent !== text) status.textContent = text;
  };

  // A part that the user is about to use stays as it is.
  const inUse = (part) =>
    (part.contains(document.activeElement) && document.activeElement !== document.body) ||
    part.querySelector("input[type=checkbox]:checked") !== null;

  // Puts in the new content. Unfolded details stay unfolded.
  const replace = (part, other) => {
    const folds = [...part.querySelectorAll("details")].map((fold) => fold.open);
    part.replaceChildren(...other.childNodes);
    part.querySelectorAll("details").forEach((fold, place) => (fold.open = folds[place] ?? fold.open));
  };

  // Whether the object of this page has been deleted.
  let gone = false;

  const loadOnce = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    gone = answer.status === 404 || answer.status === 410;
    if (!answer.ok && !gone) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (gone) {
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      disconnect();
      status.hidden = true;
      return;
    }
    for (const part of document.querySelectorAll("[data-live]")) {
      const name = part.getAttribute("data-live");
      const other = fresh.querySelector(`[data-live="${CSS.escape(name)}"]`);
      if (other && !inUse(part)) replace(part, other);
    }
  };

  // A change that comes while the page loads is loaded afterwards.
  let loading = false;
  let again = false;
  const load = async () => {
    again = true;
    if (loading) return;
    loading = true;
    while (again && !gone && !document.hidden) {
      again = false;
      try {
        await loadOnce();
      } catch {
        // The next event tries again.
      }
    }
    loading = false;
  };

  // A browser has few connections to a server for all its tabs, so a hidden
  // one gives up its own.
  let events;
  let lost;
  const disconnect = () => {
    events?.close();
    events = undefined;
    clearTimeout(lost);
    lost = undefined;
  };
  const connect = () => {
    if (events || gone || document.hidden) return;
    const source = new EventSource(document.body.dataset.events);
    events = source;
    // A server ends each connection after a while, and the browser connects
    // again within seconds.
    source.onopen = () => {
      clearTimeout(lost);
      lost = undefined;
      say("Live");
    };
    source.onerror = () => {
      lost ??= setTimeout(say, 6000, "Not connected");
      // The browser does not try again, for instance after the answer 503.
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(() => {
        if (events !== source) return;
        events = undefined;
        connect();
      }, 5000);
    };
    source.addEventListener("change", () => {
      say("Live");
      load();
    });
    source.addEventListener("problem", () => {
      say("The queue does not answer");
    });
  };
  const arrive = () => {
    connect();
    load();
  };

  connect();
  addEventListener("visibilitychange", () => (document.hidden ? disconnect() : arrive()));
  addEventListener("pagehide", disconnect);
  // The page is back from the history.
  addEventListener("pageshow", (event) => {
    if (event.persisted) arrive();
  });
  // A task changes nothing but itself.
  const timer = setInterval(() => {
    if (document.querySelector("[data-running]")) load();
    else clearInterval(timer);
  }, 1000);
})();
