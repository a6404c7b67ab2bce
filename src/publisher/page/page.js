(function () {
  'use strict';
  function say(kind, from) {
    var here = document.getElementById('verdict');
    if (here.className !== kind) here.className = kind;
    if (here.textContent !== from.textContent) here.replaceChildren.apply(here, Array.from(from.childNodes));
  }
  function look() {
    fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' }).then(function (answer) {
      if (!answer.ok) throw new Error('status ' + answer.status);
      return answer.text();
    }).then(function (text) {
      var page = new DOMParser().parseFromString(text, 'text/html');
      document.title = page.title;
      var verdict = page.getElementById('verdict');
      say(verdict.className, verdict);
      document.getElementById('all').replaceWith(document.adoptNode(page.getElementById('all')));
    }).catch(function (error) {
      var p = document.createElement('p');
      p.textContent = 'nginx does not answer (' + error.message + '): what stands below is old.';
      document.title = 'away: Sparkngin';
      say('bad', p);
    }).then(function () { setTimeout(look, 2000); });
  }
  setTimeout(look, 2000);
})();
