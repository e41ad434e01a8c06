// Limits of what is kept of finished jobs, and the weights for eviction.
// Thread: any. Memory: none.
// Never: sizes anything itself; the log's own limits are in limits.ts.

/** Finished jobs' results take at most this share of the log; beyond, the largest user's go. */
export const RESULTS_PER_MILLE_MAX = 250
/** Bodies below this size are not evicted: hardly anything would be gained. */
export const BODY_GIVEN_UP_BYTES_MIN = 64
/** Users whose results are distinguished, by hash; a power of two. */
export const RESULT_USERS_COUNT = 1024
/** For eviction, the age of a failed job's result is divided by this. */
export const FAILED_RESULT_WORTH = 4
/** For eviction from its slot, the age of a job that holds its key is divided by this. */
export const KEY_WORTH = 4
/** For eviction, a kept result counts as this many times the size of an undelivered one. */
export const KEPT_RESULT_WEIGHT = 4
/** The most results evicted to admit one job or one body. */
export const RESULTS_GIVEN_UP_PER_STORE_MAX = 2048
