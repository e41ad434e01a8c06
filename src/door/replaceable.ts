// The way into all code that a reload replaces: what judges and answers requests, and what reads
// the configuration. Only life/new-code.ts loads this file, and what it imports, anew from disk;
// the names here are part of DOOR_FORM.

export { loadConfig } from '../config/load.ts'
export { prepare } from '../config/prepare.ts'
export { DOOR_FORM } from './door-tables.ts'
export { DoorLogic } from './door-logic.ts'
