// Names under .localhost are this machine (RFC 6761 section 6.3), which not every resolver knows. Everything else is
// refused, so that nothing here reaches another machine by mistake.
import dns from "node:dns";

dns.lookup = (name, options, done) => {
  if (typeof options === "function") [options, done] = [{}, options];
  if (name !== "localhost" && !name.endsWith(".localhost")) return done(new Error(`${name} is not on this machine`));
  options?.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
};
