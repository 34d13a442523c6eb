export default function ({ data }) {
  const age = data.seconds ? `; max-age=${data.seconds}` : ""
  document.cookie = `${data.name}=${encodeURIComponent(data.value)}; path=/; SameSite=Strict${age}`
}
