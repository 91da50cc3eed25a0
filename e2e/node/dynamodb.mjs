// A DynamoDB of other people's making, in memory, on a free port of this machine. It prints its port, and ends when its
// standard input does.
import dynalite from "dynalite";

const server = dynalite({ createTableMs: 0 });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
