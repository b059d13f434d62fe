// @ts-check
// The file has no server, so there is no running race to follow.

export const followsRace = () => false;
