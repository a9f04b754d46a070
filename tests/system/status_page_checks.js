// Functions that tests/system/test_browser.py evaluates in the status page.
({
  // The contrast of each text and shape with its background; 4.5 is enough for all.
  contrasts() {
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const [r, g, b, alpha = 1] = parts(getComputedStyle(at).backgroundColor);
        if (alpha > 0) return [r, g, b];
      }
      return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      const isShown = element.checkVisibility() && node.data.trim() !== "";
      if (!isShown || element.closest("style, script, option")) continue;
      const pair = [parts(getComputedStyle(element).color), behind(element)];
      const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
      found.push([(light + 0.05) / (dark + 0.05), node.data.trim().slice(0, 40)]);
    }
    const shapes = ".mark *, .sparkline path, .gauge .left";
    for (const shape of document.querySelectorAll(shapes)) {
      if (!shape.checkVisibility()) continue;
      const style = getComputedStyle(shape);
      const colour = style.stroke === "none" ? style.fill : style.stroke;
      const pair = [parts(colour), behind(shape)];
      const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
      // Shapes need 3 (WCAG 1.4.11); the bars of past days are decorative.
      const least = shape.matches(".past") ? 2 : 3;
      const contrast = (light + 0.05) / (dark + 0.05);
      found.push([4.5 / least * contrast, shape.outerHTML.slice(0, 60)]);
    }
    return found;
  },

  // What screen readers and keyboards miss.
  flaws() {
    const flaws = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    const named = (one) => document.getElementById(one.getAttribute("aria-labelledby"));
    const claim = (isTrue, text) => { if (!isTrue) flaws.push(text); };
    claim(document.documentElement.lang === "en", "no language");
    claim(all("h1").length === 1, "not one h1");
    const levels = all("h1, h2, h3, h4").map((one) => Number(one.tagName[1]));
    levels.forEach((level, at) =>
      claim(!at || level <= levels[at - 1] + 1, `heading ${at} skips a level`));
    for (const name of ["header", "main", "footer"])
      claim(all(`body > ${name}`).length === 1, `no landmark ${name}`);
    for (const nav of all("nav")) claim(nav.ariaLabel, "a nav without a name");
    for (const field of all("input, select, textarea"))
      claim(field.labels.length === 1 && field.labels[0].textContent,
        `${field.id} has no label`);
    for (const link of all("a, button, summary"))
      claim(link.textContent.trim(), `no text in ${link.outerHTML}`);
    for (const head of all("th"))
      claim(["col", "row"].includes(head.scope), `${head.textContent} has no scope`);
    for (const table of all("table"))
      claim(named(table), "a table without a name");
    for (const row of all("tbody tr"))
      claim(row.children.length === all("thead th").length, "a row of other columns");
    for (const picture of all("svg"))
      claim(picture.ariaHidden === "true" || (picture.role && picture.ariaLabel),
        `neither hidden nor named: ${picture.outerHTML.slice(0, 60)}`);
    for (const time of all("time"))
      claim(!isNaN(Date.parse(time.dateTime)), "a bad time");
    const ids = all("[id]").map((one) => one.id);
    claim(new Set(ids).size === ids.length, "an id twice");
    for (const one of all("[aria-labelledby]"))
      claim(named(one), "a label that leads nowhere");
    claim(!all("[style], [tabindex]:not([tabindex='-1'])").length, "style or tabindex");
    claim(all("[role=status]").length === 1, "no live region");
    return flaws;
  },
})
