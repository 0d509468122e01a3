// The login form. A link such as https://cabinet:8080/login#token=TOKEN (a QR code in the cabinet's door) fills it in; what
// follows the # never reaches a server's log.

const element = (id) => document.getElementById(id);

async function login() {
  element("wrong").textContent = "";
  try {
    const response = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: element("token").value, name: element("name").value }),
    });
    if (response.ok) {
      localStorage.setItem("name", element("name").value);
      location.href = `/${page}`;
      return;
    }
    const said = await response.json().catch(() => ({}));
    element("wrong").textContent = [said.what || `error ${response.status}`, said.fix].filter(Boolean).join(": ");
  } catch {
    element("wrong").textContent = "The line does not answer. Is this tablet in its network?";
  }
  element("token").select();
}

document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";
element("name").value = localStorage.getItem("name") || "";
element("form").addEventListener("submit", (event) => { event.preventDefault(); login(); });
// A browser that was sent here keeps the # of the page it wanted.
const given = location.hash.match(/^#token=(.+)$/);
const page = given ? "" : location.hash;
if (given) {
  element("token").value = decodeURIComponent(given[1]);
  history.replaceState(null, "", "/login");
}
