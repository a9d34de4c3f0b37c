// Starts the Google emulator on 127.0.0.1 and prints its port; ends when stdin closes, that is, with its parent.
import { createServer as probe } from "node:net";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [modules, address, clientId, clientSecret, refreshToken, outsideToken, extra] = process.argv.slice(2);
const { others = [], redirects = [], sendAs = [] } = JSON.parse(extra ?? "{}");
const load = (name) => import(pathToFileURL(join(modules, "@emulators", name, "dist", "index.js")).href);
const { createServer, serve } = await load("core");
const { getGoogleStore, googlePlugin, seedFromConfig } = await load("google");

const port = await new Promise((resolve, reject) => {
  const socket = probe().once("error", reject);
  socket.listen(0, "127.0.0.1", () => {
    const found = socket.address().port;
    socket.close(() => resolve(found));
  });
});
const baseUrl = `http://127.0.0.1:${port}`;
const { app, store } = createServer(googlePlugin, {
  port,
  baseUrl,
  tokens: { [outsideToken]: { login: address, id: 1, scopes: ["https://mail.google.com/"] } },
});
seedFromConfig(store, baseUrl, {
  users: [{ email: address, name: "Ada Recruiter" }, ...others.map((email) => ({ email, name: "Another" }))],
  oauth_clients: [
    { client_id: clientId, client_secret: clientSecret, name: "Test", redirect_uris: ["http://127.0.0.1/callback", ...redirects] },
  ],
});
const known = getGoogleStore(store).sendAs;
if (sendAs.length) known.insert({ user_email: address, send_as_email: address, is_default: true, signature: "" });
for (const entry of sendAs) known.insert({ user_email: address, is_default: false, ...entry });
const grants = new Map();
const grant = () => grants.set(refreshToken, { email: address, scope: "https://mail.google.com/", clientId });
grant();
store.setData("google.oauth.refreshTokens", grants);
app.post("/outside/grant", (c) => {
  grant();
  return c.json({});
});
const server = serve({ fetch: app.fetch, port, hostname: "127.0.0.1" });
server.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
server.on("listening", () => console.log(JSON.stringify({ port })));

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
