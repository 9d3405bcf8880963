// Package agent loads the trainer's snapshots into an inference server that
// shares no disk with it. An [Agent] runs beside the server: told to by the
// trainer's [Publisher], it pulls a snapshot from bridge/share, of which it
// fetches only the chunks that no earlier snapshot has, publishes it in its own
// folder, and has a local bridge.Publisher load it. The canary stays with the
// trainer, on the route that rollouts come from.
//
// Its API, behind a token (internal/guard):
//
//	POST   /v1/load            a Request → a Report; 202 while it is under way
//	DELETE /v1/load/ATTEMPT    gives it up, and answers when it has ended
//	GET    /v1/live            ?run=&version= → a Report: does the server still show it?
//	GET    /v1/checksums       the server's own checksums, if it has them
//	GET    /v1/status          a Status
//
// A request names a run, a version and its hash, and nothing else: where
// snapshots come from and where they go was said when the agent was started.
//
// The folder holds run-ID/version-NNNNNN (complete, internal/atomicdir), its
// manifest beside it, and pull/, what has come of the next one. All of it is
// written through os.Root, and links are refused.
//
// Deliberately absent: any other of the server's routes, and pushing. What the
// trainer cannot reach cannot be trained with anyway, as rollouts come from it.
package agent
