// What is asked for, wherever a person or a message is.

export const PERSON = "handle name followers following isFollowed followsMe";
export const MESSAGE = "id chat from to text at key";
