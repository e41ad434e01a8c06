// What a process ends with.

/** What was asked for was done. */
export const EXIT_OK = 0
/** It failed while it ran. */
export const EXIT_FAILED = 1
/** Wrong usage or configuration. */
export const EXIT_USAGE = 2
