// Optional: applies filters during typing, and updates the page every 15 seconds.
"use strict";
(() => {
  const form = document.getElementById("filter");
  const live = document.getElementById("live");
  const UPDATE_MS = 15000;
  const TYPING_MS = 150;
  let latest = 0;
  let typingTimer = 0;

  // The form is not replaced, so that typing is not interrupted.
  const updatedIds = ["summary", "workspaces", "found", "asof", "results"];

  const filterUrl = () => {
    const fields = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const field = form.elements[name];
      const defaultValue = field.tagName === "SELECT" ? defaultOf(name) : "";
      if (value !== defaultValue) fields.append(name, value);
    }
    const query = fields.toString();
    return form.getAttribute("action") + (query ? "?" + query : "");
  };

  const defaultOf = (name) => ({ sort: "state", size: "50" })[name] || "";

  const openRows = () =>
    new Set([...document.querySelectorAll("details[open]")].map(rowOf));
  const rowOf = (details) =>
    details.closest("tr").querySelector(".name").title;

  const focusedPlace = () => {
    const link = document.activeElement;
    if (!link || !updatedIds.some((id) => link.closest("#" + id))) return null;
    const all = [...link.closest("section").querySelectorAll("a, summary")];
    return [link.closest("section").id, all.indexOf(link)];
  };

  const show = (text) => {
    const update = new DOMParser().parseFromString(text, "text/html");
    const open = openRows();
    const place = focusedPlace();
    for (const id of updatedIds) {
      const newPart = update.getElementById(id);
      if (!newPart) throw new Error("not a status page");
      const oldPart = document.getElementById(id);
      // Replacing a live region makes screen readers announce it, also if unchanged.
      if (oldPart.getAttribute("role") !== "status" || oldPart.innerHTML !== newPart.innerHTML)
        oldPart.replaceChildren(...newPart.childNodes);
    }
    document.title = update.title;
    for (const details of document.querySelectorAll("details"))
      details.open = open.has(rowOf(details));
    if (place && place[1] >= 0) {
      const all = document.getElementById(place[0]).querySelectorAll("a, summary");
      if (all[place[1]]) all[place[1]].focus({ preventScroll: true });
    }
  };

  const load = async (url) => {
    const number = ++latest;
    try {
      // With the origin: fetch rejects a relative URL if the page's URL has a password.
      const response = await fetch(location.origin + url);
      const text = await response.text();
      if (number === latest && response.ok) show(text);
      return response.ok;
    } catch {
      return false; // keep the previous content, which shows its time
    }
  };

  const filter = async () => {
    const url = filterUrl();
    history.replaceState(null, "", url);
    await load(url);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    filter();
  });
  form.addEventListener("input", (event) => {
    if (event.target === live) return;
    clearTimeout(typingTimer);
    typingTimer = setTimeout(filter, event.target.type === "search" ? TYPING_MS : 0);
  });

  const update = () => {
    const isEnabled = document.visibilityState === "visible" && live.checked;
    if (isEnabled && getSelection().isCollapsed) load(location.pathname + location.search);
  };

  const storedChoice = () => {
    try {
      return localStorage.getItem("braze-exporter-live") !== "no";
    } catch {
      return true;
    }
  };
  live.checked = storedChoice();
  live.addEventListener("change", () => {
    try {
      localStorage.setItem("braze-exporter-live", live.checked ? "yes" : "no");
    } catch {
      // Storage is disabled: the choice is lost on reload.
    }
    update();
  });
  form.querySelector(".live").hidden = false;
  form.querySelector(".submit").hidden = true;
  setInterval(update, UPDATE_MS);
})();
