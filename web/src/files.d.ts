// Files that the bundler turns into their paths on the server.
declare module '*.svg' {
  const path: string;
  export default path;
}
