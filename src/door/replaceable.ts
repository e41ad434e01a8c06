// The entry to all code that a reload replaces: the door logic, and the code that reads the
// configuration. Only src/handover/new-code.ts loads this file, and what it imports, again from
// disk; the exported names are part of DOOR_FORM.

export { loadConfig } from '../config/load.ts'
export { prepare } from '../config/prepare.ts'
export { DOOR_FORM } from './door-tables.ts'
export { DoorLogic } from './door-logic.ts'
