// Where one logs in or signs up.

import { useEffect, useRef, useState, type FormEvent } from "react";
import { logIn, signUp, type Refusal } from "./api";
import { keys } from "./cookies";
import { Title } from "./parts";
import { useSession } from "./session";

interface Field {
  name: "handle" | "name" | "password";
  label: string;
  hint: string;
  attributes: React.InputHTMLAttributes<HTMLInputElement>;
}

const HANDLE: Field = {
  name: "handle",
  label: "Handle",
  hint: "3 to 20 small letters, digits and _",
  attributes: { autoComplete: "username", autoCapitalize: "none", spellCheck: false, maxLength: 20 },
};
const NAME: Field = {
  name: "name",
  label: "Name",
  hint: "As others see it",
  attributes: { autoComplete: "name", maxLength: 40 },
};
const password = (isNew: boolean): Field => ({
  name: "password",
  label: "Password",
  hint: "8 characters or more",
  attributes: { type: "password", autoComplete: isNew ? "new-password" : "current-password", maxLength: 200 },
});

/** The field that a refusal is about. */
const ABOUT: Record<string, Field["name"]> = {
  bad_handle: "handle",
  handle_taken: "handle",
  bad_name: "name",
  bad_password: "password",
};

export function Portal() {
  const { status } = useSession();
  const [isNew, setNew] = useState(false);
  return (
    <div className="portal">
      <section className="pitch">
        <p className="brand">Social</p>
        <p>Posts, people and chats. What happens is on all of your tabs, and on your phone, at once.</p>
      </section>
      <main className="card">
        <Title name={isNew ? "Sign up" : "Log in"}>{isNew ? "Sign up" : "Log in"}</Title>
        {status.state === "refused" && (
          <p className="failure" role="alert" data-testid="refused">
            {status.why}
          </p>
        )}
        <Entrance key={String(isNew)} isNew={isNew} />
        <p className="switch">
          {isNew ? "You have been here before?" : "You are new here?"}{" "}
          <button type="button" className="link" onClick={() => setNew(!isNew)} data-testid="switch">
            {isNew ? "Log in" : "Sign up"}
          </button>
        </p>
      </main>
    </div>
  );
}

function Entrance({ isNew }: { isNew: boolean }) {
  const { begin } = useSession();
  const [error, setError] = useState<Refusal>();
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const about = error && ABOUT[error.code];
  const fields = isNew ? [HANDLE, NAME, password(true)] : [HANDLE, password(false)];

  // Another tab may have logged in meanwhile.
  useEffect(() => {
    const look = () => keys() && begin();
    addEventListener("focus", look);
    return () => removeEventListener("focus", look);
  }, [begin]);
  useEffect(() => {
    if (error) form.current?.querySelector<HTMLInputElement>("[aria-invalid]")?.focus();
  }, [error]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (isBusy || !form.current) return;
    const data = new FormData(form.current);
    const told = (name: Field["name"]) => String(data.get(name) ?? "");
    const handle = told("handle").trim().toLowerCase();
    setBusy(true);
    try {
      await (isNew ? signUp(handle, told("name").trim(), told("password")) : logIn(handle, told("password")));
      begin();
    } catch (error) {
      setError(error as Refusal);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form ref={form} className="entrance" onSubmit={submit} noValidate data-testid="entrance">
      {fields.map(({ name, label, hint, attributes }) => {
        const isWrong = about === name || error?.code === "bad_login";
        return (
          <div key={name} className="field">
            <label htmlFor={name}>{label}</label>
            <input
              id={name}
              name={name}
              required
              aria-invalid={isWrong || undefined}
              aria-describedby={isWrong ? "error" : isNew ? `${name}-hint` : undefined}
              {...attributes}
            />
            {isNew && (
              <p id={`${name}-hint`} className="hint">
                {hint}
              </p>
            )}
          </div>
        );
      })}
      <p id="error" className="failure" role="alert" data-testid="error" hidden={!error}>
        {error?.message}
      </p>
      <button type="submit" aria-busy={isBusy} data-testid="enter">
        {isNew ? "Sign up" : "Log in"}
      </button>
    </form>
  );
}
