// The bounds of what is kept of finished jobs, and how what is kept is weighed when room is short.
// Thread: any. Memory: none.
// Never: sizes anything itself; the log's own bounds are in limits.ts.

/** Results of finished jobs take at most this share of the log; who has most loses some. */
export const RESULTS_PER_MILLE_MAX = 250
/** A body below this stays with its result: hardly anything would be gained without it. */
export const BODY_GIVEN_UP_BYTES_MIN = 64
/** Users whose results are told apart, by their hash; a power of two. */
export const RESULT_USERS_COUNT = 1024
/** A failed job's result gives way as a completed one's would that is so many times as young. */
export const FAILED_RESULT_WORTH = 4
/** A job is forgotten for its slot as one without a key would be that is so many times as young. */
export const KEY_WORTH = 4
/** A kept result gives way as one of so many times its size would that a receiver waits for. */
export const KEPT_RESULT_WEIGHT = 4
/** Results given up, at most, to let one job or one body in. */
export const RESULTS_GIVEN_UP_PER_STORE_MAX = 2048
