window.EASYISP_CONFIG = {{config}};
document.addEventListener("submit", function (event) {
  var button = event.target.querySelector("button");
  if (button) { button.disabled = true; }
});
