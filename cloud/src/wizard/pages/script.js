window.EASYISP_CONFIG = {{config}};
document.addEventListener("submit", function (event) {
  var button = event.target.querySelector("button");
  if (button) { button.disabled = true; }
});
(function () {
  var list = document.getElementById("packages"), whose = window.EASYISP_CONFIG;
  if (!list || list.firstChild || !window.fetch) { return; }
  fetch(whose.apiBaseUrl + "/portal/packages?tenantId=" + whose.tenantId).then(function (told) {
    return told.json();
  }).then(function (told) {
    told.packages.forEach(function (one) {
      var row = document.createElement("li");
      row.textContent = one.name + ": " + [one.price, one.speed, one.duration, one.data].join(", ");
      list.appendChild(row);
    });
  }).catch(function () {});
})();
