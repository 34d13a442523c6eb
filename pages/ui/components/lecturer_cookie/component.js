export default function ({ data }) {
  document.cookie = `lecturer=${encodeURIComponent(data)}; path=/; SameSite=Strict`
}
