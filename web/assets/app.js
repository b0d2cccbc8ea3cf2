// Holdfast's own script: live fragments, copy buttons, notices. Everything here is an extra: without it the pages
// work as plain forms and links.
"use strict";
(() => {
  const live = "[data-topics]";
  const notice = document.getElementById("live-notice");
  let source = null;
  let broken = false;
  let missed = false;

  // Every fragment names the topics it depends on; the page's stream asks for their sum.
  const topics = () => {
    const all = new Set();
    for (const element of document.querySelectorAll(live)) {
      for (const topic of element.dataset.topics.split(" ")) if (topic) all.add(topic);
    }
    return [...all].sort();
  };

  // htmx fetches the fragment again: its element says where from and how to swap.
  const refetch = (topic) => {
    for (const element of document.querySelectorAll(live)) {
      const wanted = topic === "all" || element.dataset.topics.split(" ").includes(topic);
      if (!wanted || !element.isConnected) continue;
      // The end of a list is replaced by each answer: what comes while one is under way is asked for afterwards.
      if (element.matches("[data-tail]")) {
        if (element.dataset.busy) {
          missed = true;
          continue;
        }
        element.dataset.busy = "1";
      }
      element.dispatchEvent(new CustomEvent("hf-changed", { bubbles: false }));
    }
  };

  const show = (lost) => {
    broken = lost;
    if (notice) notice.hidden = !lost;
    for (const element of document.querySelectorAll("[data-live-note]")) {
      element.textContent = lost ? "not live: connection lost" : element.dataset.liveNote;
    }
    for (const element of document.querySelectorAll(".pulse")) element.hidden = lost;
  };

  // The newest change that this page knows of: the server tells at once when there was one since.
  let seq = document.body.dataset.seq;
  let asked = "";
  let retry = 0;
  const close = () => {
    clearTimeout(retry);
    if (source) source.close();
    source = null;
    asked = "";
  };
  const open = (resync) => {
    const wanted = topics().join(",");
    if (!wanted || document.hidden || wanted === asked) return;
    close();
    asked = wanted;
    source = new EventSource("/api/events?since=" + seq + "&topics=" + encodeURIComponent(wanted));
    let first = true;
    source.addEventListener("open", () => {
      // What changed while nobody listened is not known: look at everything again.
      if (broken || resync || !first) refetch("all");
      first = false;
      show(false);
    });
    source.addEventListener("message", (event) => {
      seq = event.lastEventId;
      refetch(JSON.parse(event.data).topic);
    });
    source.addEventListener("bye", () => location.reload());
    source.addEventListener("error", () => {
      show(true);
      // A refused stream is closed for good by the browser: try again, gently.
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        retry = setTimeout(() => open(true), 5000);
      }
    });
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open(true)));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open(true));
  // A swapped-in fragment may depend on other topics.
  document.addEventListener("htmx:after:swap", () => {
    open(false);
    if (broken) show(true);
    // Where the reader is stands in the address: a search, too.
    const here = document.querySelector("[data-address]");
    if (here && here.dataset.address !== location.pathname + location.search) {
      history.replaceState(history.state, "", here.dataset.address);
    }
    for (const list of document.querySelectorAll("[data-most]")) {
      while (list.children.length > Number(list.dataset.most)) list.lastElementChild.remove();
    }
    const tail = document.querySelector("[data-tail]");
    if (missed && tail && !tail.dataset.busy) {
      missed = false;
      tail.dataset.busy = "1";
      tail.dispatchEvent(new CustomEvent("hf-changed", { bubbles: false }));
    }
  });
  // A request that failed leaves its fragment; the next change asks again.
  document.addEventListener("htmx:finally:request", (event) => {
    const element = event.detail.ctx.sourceElement;
    if (element && element.matches("[data-tail]")) delete element.dataset.busy;
  });
  // A session that ended answers a fragment with the sign-in page: go there whole.
  document.addEventListener("htmx:before:response", (event) => {
    const response = event.detail.ctx.response;
    if (response.status === 401) {
      event.preventDefault();
      // A form goes the plain way: the sign-in that answers it keeps what was typed.
      const form = event.detail.ctx.sourceElement.closest("form[method=post]");
      if (form && !event.detail.ctx.sourceElement.matches(live)) HTMLFormElement.prototype.submit.call(form);
      else location.reload();
    }
    // A fragment that can't be had leaves what is there; the notice says that it is not live.
    if (response.status >= 500 && event.detail.ctx.sourceElement.matches(live)) {
      event.preventDefault();
      show(true);
    }
  });
  document.addEventListener("htmx:error", (event) => {
    const element = event.detail.ctx && event.detail.ctx.sourceElement;
    if (element && element.matches(live)) show(true);
  });

  const copied = (button) => {
    const said = button.querySelector("[data-copy-word]");
    if (!said) return;
    const word = said.textContent;
    said.textContent = "Copied";
    setTimeout(() => (said.textContent = word), 1600);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    };
    if (!navigator.clipboard) {
      // No clipboard without TLS: select it, the older command may still copy.
      select();
      if (document.execCommand("copy")) copied(button);
      return;
    }
    navigator.clipboard.writeText(code.textContent).then(() => copied(button), select);
  });

  // A path that was picked becomes a line of a text area.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-add-line]");
    const area = button && document.getElementById(button.dataset.addLine);
    if (!area) return;
    const lines = area.value.split("\n").filter((line) => line.trim());
    if (!lines.includes(button.dataset.line)) lines.push(button.dataset.line);
    area.value = lines.join("\n");
    button.querySelector("[data-add-word]").textContent = "Included";
  });

  // Buttons that open a dialog lead to a confirm page; where the browser can show the dialog, it does.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-dialog]");
    if (!button) return;
    const dialog = document.getElementById(button.dataset.dialog);
    if (!dialog || typeof dialog.showModal !== "function") return;
    event.preventDefault();
    dialog.showModal();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-close]");
    if (button) button.closest("dialog").close();
  });

  // A form that is on its way is not sent once more by a second press. What comes back is a page of its own.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 10000);
  });
  // A page that comes back from history is as new.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // A box that was ticked before this page was ready, or that history brings back ticked, counts like one that is
  // ticked now.
  addEventListener("pageshow", () => {
    const isOther = (box) => box.checked !== box.defaultChecked;
    const box = [...document.querySelectorAll("main input[type=checkbox]")].find(isOther);
    if (box) box.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // Keys: / goes to the search, j and k go down and up through the rows.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable], dialog");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (event.key === "/") {
      const search = document.querySelector("main input[type=search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    }
    if (event.key === "j" || event.key === "k") {
      const links = [...document.querySelectorAll("main .row-link")];
      const here = links.indexOf(document.activeElement);
      const next = links[here + (event.key === "j" ? 1 : -1)] || links[event.key === "j" ? 0 : links.length - 1];
      if (next) next.focus();
    }
  });

  // Exact times also in the reader's own zone.
  document.addEventListener("mouseover", (event) => {
    const time = event.target.closest("time[datetime]");
    if (!time || time.dataset.zoned) return;
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    time.dataset.zoned = "1";
    time.title += "\n" + at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  });

  open(false);
})();
