// The page works without this. With it, filters act while one types, and the figures
// keep up with the time without a new page.
"use strict";
(() => {
  const form = document.getElementById("filter");
  const live = document.getElementById("live");
  const UPDATE_MS = 15000;
  const TYPING_MS = 150;
  let latest = 0;
  let typing = 0;

  // What a new answer brings; the form is left to who types in it.
  const parts = ["summary", "workspaces", "found", "asof", "results"];

  const address = () => {
    const given = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const field = form.elements[name];
      const usual = field.tagName === "SELECT" ? initial(name) : "";
      if (value !== usual) given.append(name, value);
    }
    const query = given.toString();
    return form.getAttribute("action") + (query ? "?" + query : "");
  };

  const initial = (name) => ({ sort: "state", size: "50" })[name] || "";

  const opened = () =>
    new Set([...document.querySelectorAll("details[open]")].map(nameOf));
  const nameOf = (details) =>
    details.closest("tr").querySelector(".name").title;

  const focused = () => {
    const link = document.activeElement;
    if (!link || !parts.some((id) => link.closest("#" + id))) return null;
    const all = [...link.closest("section").querySelectorAll("a, summary")];
    return [link.closest("section").id, all.indexOf(link)];
  };

  const show = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    const kept = opened();
    const place = focused();
    for (const id of parts) {
      const found = next.getElementById(id);
      if (!found) throw new Error("not a status page");
      const shown = document.getElementById(id);
      // What is said aloud is only replaced when it says something else.
      if (shown.getAttribute("role") !== "status" || shown.innerHTML !== found.innerHTML)
        shown.replaceChildren(...found.childNodes);
    }
    document.title = next.title;
    for (const details of document.querySelectorAll("details"))
      details.open = kept.has(nameOf(details));
    if (place && place[1] >= 0) {
      const all = document.getElementById(place[0]).querySelectorAll("a, summary");
      if (all[place[1]]) all[place[1]].focus({ preventScroll: true });
    }
  };

  const load = async (url) => {
    const mine = ++latest;
    try {
      // From the origin on: fetch refuses an address with a password in it.
      const answer = await fetch(location.origin + url);
      const text = await answer.text();
      if (mine === latest && answer.ok) show(text);
      return answer.ok;
    } catch {
      return false; // the page stays as it is, with its time
    }
  };

  const filter = async () => {
    const url = address();
    history.replaceState(null, "", url);
    await load(url);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    filter();
  });
  form.addEventListener("input", (event) => {
    if (event.target === live) return;
    clearTimeout(typing);
    typing = setTimeout(filter, event.target.type === "search" ? TYPING_MS : 0);
  });

  const update = () => {
    const isIdle = document.visibilityState === "visible" && live.checked;
    if (isIdle && getSelection().isCollapsed) load(location.pathname + location.search);
  };

  const remembered = () => {
    try {
      return localStorage.getItem("braze-exporter-live") !== "no";
    } catch {
      return true;
    }
  };
  live.checked = remembered();
  live.addEventListener("change", () => {
    try {
      localStorage.setItem("braze-exporter-live", live.checked ? "yes" : "no");
    } catch {
      // Then it is not remembered.
    }
    update();
  });
  form.querySelector(".live").hidden = false;
  form.querySelector(".submit").hidden = true;
  setInterval(update, UPDATE_MS);
})();
