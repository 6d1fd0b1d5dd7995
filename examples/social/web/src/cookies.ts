// What names a session on a socket. A third cookie, for HTTP, is not for scripts to read.

export interface Keys {
  id: string;
  secretkey: string;
}

function cookie(name: string): string {
  const found = document.cookie.split("; ").find((one) => one.startsWith(`${name}=`));
  return found?.slice(name.length + 1) ?? "";
}

/** The session that the browser has, if it has one. */
export function keys(): Keys | undefined {
  const [id, secretkey] = [cookie("id"), cookie("secretkey")];
  return id || secretkey ? { id, secretkey } : undefined;
}

/** Forgets that session, unless another tab has begun a new one meanwhile. */
export function forget(old: Keys) {
  const now = keys();
  if (!now || now.id !== old.id || now.secretkey !== old.secretkey) return;
  for (const name of ["id", "secretkey"]) document.cookie = `${name}=; Max-Age=0; Path=/; SameSite=Strict`;
}
