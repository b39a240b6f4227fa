// The link's token stands after the #, which a browser never sends with the address.
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
if (!token) {
  form.hidden = true;
  status.textContent = "This page is opened by the link in the mail. Ask for another one at the sign-in.";
}

form.elements.shown.addEventListener("change", (event) => {
  form.elements.password.type = event.target.checked ? "text" : "password";
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = "…";
  try {
    const answer = await fetch("/api/auth/password/reset", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, newPassword: form.elements.password.value }),
    });
    const body = await answer.json();
    const details = (body.details ?? []).map((detail) => detail.message);
    status.textContent = [body.message, ...details].join(" ");
    form.hidden = answer.ok;
  } catch {
    status.textContent = "The server was not reached. Try again.";
  }
  button.disabled = false;
});
