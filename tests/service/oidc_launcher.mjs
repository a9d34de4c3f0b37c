// Starts a third-party OIDC server on 127.0.0.1, prints its port, then signs the claims of each line it is given.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const { OAuth2Server } = await import(
  pathToFileURL(join(process.argv[2], "oauth2-mock-server", "dist", "index.js")).href
);
const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
await server.start(0, "127.0.0.1");
console.log(JSON.stringify({ port: server.address().port }));
for await (const line of createInterface({ input: process.stdin })) {
  const claims = JSON.parse(line);
  const token = await server.issuer.buildToken({
    scopesOrTransform: (header, payload) => {
      for (const key of Object.keys(payload)) delete payload[key];
      Object.assign(payload, claims);
    },
  });
  console.log(JSON.stringify({ token }));
}
process.exit(0);
