// A form that gives an invitation code to the server, for a new session or for one more state.

import { type FormEvent, type ReactNode, useState } from "react";
import * as api from "./api";
import type { Session } from "./api";

interface Props {
  /** Asks for this, or is given. */
  name?: string;
  action: string;
  enter: (session: Session) => void;
  children?: ReactNode;
}

const NAME = "collab name";

export function InvitationForm({ name: given, action, enter, children }: Props) {
  const [name, setName] = useState(() => given ?? localStorage.getItem(NAME) ?? "");
  const [code, setCode] = useState("");
  const [problem, setProblem] = useState("");
  const [isBusy, setIsBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setIsBusy(true);
    setProblem("");
    try {
      const session = await api.signIn(name.trim(), code.trim());
      localStorage.setItem(NAME, session.name);
      setCode("");
      enter(session);
    } catch (error) {
      setProblem((error as Error).message);
    }
    setIsBusy(false);
  }

  return (
    <form className="invitation" onSubmit={submit}>
      {given === undefined && (
        <label>
          Your name
          <input value={name} onChange={(event) => setName(event.target.value)} required maxLength={40} autoComplete="nickname" />
        </label>
      )}
      <label>
        Invitation code
        <input value={code} onChange={(event) => setCode(event.target.value)} required autoCapitalize="none" autoComplete="off" spellCheck={false} />
      </label>
      <button className="primary" disabled={isBusy}>
        {action}
      </button>
      {problem && (
        <p role="alert" className="problem" data-test="problem">
          {problem}
        </p>
      )}
      {children}
    </form>
  );
}
