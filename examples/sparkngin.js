// Events of a page, to nginx:
//   <script src="sparkngin.js" data-to="https://events.example.org/sn/log/clicks"></script>
//   sparkngin({ type: "click", page: location.pathname });
// Each has an `id`: one that was sent again can be told. What cannot be sent waits, and goes with the page.
(function (window, document) {
  var to = document.currentScript.getAttribute("data-to");
  var queue = [], timer, wait = 500;

  function plan(ms) {
    timer = timer || setTimeout(function () { timer = 0; queue.splice(0).forEach(send); }, ms);
  }
  function taken() { wait = 500; }
  function again(event) {
    queue = queue.concat(event).slice(-500);
    plan(wait = Math.min(2 * wait, 60000));
  }
  // Text needs no preflight; keepalive outlives the page.
  function send(event) {
    if (!window.fetch) return pixel(event);
    fetch(to, { method: "POST", body: JSON.stringify(event), keepalive: true, credentials: "omit" })
      .then(function (answer) { answer.status == 503 ? again(event) : taken(); })
      .catch(function () { again(event); });
  }
  // Without fetch: an image. What is refused is none.
  function pixel(event) {
    var image = new Image(), path = to.split("/log"), topic = path[1].slice(1);
    image.onload = taken;
    image.onerror = function () { again(event); };
    image.src = path[0] + "/log.gif?topic=" + topic + "&id=" + event.id +
      "&data=" + encodeURIComponent(JSON.stringify(event));
  }
  // The page may end now. Nobody answers a beacon.
  function leave(end) {
    if (end.type == "pagehide" || document.visibilityState == "hidden")
      queue.splice(0).forEach(function (event) {
        if (!navigator.sendBeacon || !navigator.sendBeacon(to, JSON.stringify(event))) send(event);
      });
  }
  window.sparkngin = function (event) {
    event.id = event.id || Date.now().toString(36) + Math.random().toString(36);
    queue.push(event);
    plan(0);
  };
  document.addEventListener("visibilitychange", leave);
  addEventListener("pagehide", leave);
})(window, document);
