// Everybody, and one of them.

import { useEffect, useState } from "react";
import { Avatar, Counts, Empty, Failure, Follow, Loading, Name, Title } from "./parts";
import { PERSON } from "./queries";
import { Link } from "./router";
import { useNews, useSession, useView } from "./session";
import type { Person as Someone } from "./types";

const PEOPLE = `query ($search: String) { people(search: $search) { ${PERSON} } }`;
const ONE = `query ($handle: String!) { person(handle: $handle) { ${PERSON} } }`;
/** How long it waits for the next letter. */
const TYPING_MS = 250;
const SEARCH_MAX = 40;

export function People() {
  const { ask, me } = useSession();
  const [text, setText] = useState("");
  const search = useLater(text.trim());
  const [people, setPeople] = useState<Someone[]>();
  const load = async () => (await ask<{ people: Someone[] }>(PEOPLE, { search: search || null })).people;
  const { error, reload } = useView(load, setPeople, [search]);
  useNews("followed", reload);
  const others = people?.filter(({ handle }) => handle !== me?.handle);
  const changed = (person: Someone) =>
    setPeople((people) => people?.map((each) => (each.handle === person.handle ? person : each)));
  return (
    <div className="narrow">
      <Title name="People">People</Title>
      <form role="search" onSubmit={(event) => event.preventDefault()}>
        <label htmlFor="search">Search by name or handle</label>
        <input
          id="search"
          type="search"
          autoComplete="off"
          maxLength={SEARCH_MAX}
          value={text}
          onChange={({ target }) => setText(target.value)}
          data-testid="search"
        />
      </form>
      <p className="hidden" role="status">
        {others && `${others.length} found`}
      </p>
      {error && <Failure error={error} />}
      {!people && !error && <Loading what="people" />}
      <ul className="list" aria-label="People">
        {others?.map((person) => (
          <li key={person.handle} className="person card" data-testid="person" data-handle={person.handle}>
            <Avatar who={person} />
            <div>
              <Name who={person} /> {person.followsMe && <FollowsYou />}
              <Counts person={person} />
            </div>
            <Follow person={person} changed={changed} />
          </li>
        ))}
      </ul>
      {others?.length === 0 && <Empty>{search ? "Nobody is called like that." : "Nobody else is here yet."}</Empty>}
    </div>
  );
}

export function Person({ handle }: { handle: string }) {
  const { ask, me } = useSession();
  const [person, setPerson] = useState<Someone>();
  const load = async () => (await ask<{ person: Someone }>(ONE, { handle })).person;
  const { error, reload } = useView(load, setPerson);
  useNews("followed", reload);
  const isMe = handle === me?.handle;
  const shown = isMe ? me : person;
  return (
    <div className="narrow">
      <p>
        <Link href="/people">All people</Link>
      </p>
      <Title name={shown?.name ?? `@${handle}`}>{shown?.name ?? `@${handle}`}</Title>
      {error && <Failure error={error} />}
      {!shown && !error && <Loading what="this person" />}
      {shown && (
        <section className="profile card" data-testid="profile">
          <Avatar who={shown} size="5rem" />
          <p className="handle">
            @{shown.handle} {shown.followsMe && <FollowsYou />}
          </p>
          <Counts person={shown} />
          {isMe ? (
            <p>This is how others see you.</p>
          ) : (
            <p className="actions">
              <Follow person={shown} changed={setPerson} />
              <Link className="button quiet" href={`/chats/${handle}`}>
                Write a message
              </Link>
            </p>
          )}
        </section>
      )}
    </div>
  );
}

const FollowsYou = () => <span className="chip">follows you</span>;

/** The value when it has not changed for a moment. */
function useLater(value: string) {
  const [later, setLater] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLater(value), TYPING_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return later;
}
