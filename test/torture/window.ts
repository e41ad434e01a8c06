// How far back the end of a process or a thread may reach, as seen from outside: a request that was
// answered so shortly before may be sent again, since its answer may have been on the way, or not
// yet written down. What was answered earlier may not. It counts from the last moment at which the
// server was seen to keep up (pulse.ts).

export const WINDOW_US = 1_000_000
