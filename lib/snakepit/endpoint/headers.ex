defmodule Snakepit.Endpoint.Headers do
  @moduledoc false
  # The headers of every response, also of those with which the HTTP server itself refuses a request.
  # No page but its own may make anything of what the endpoint says.

  @behaviour :httpd_custom_api

  @always [
    {~c"cache-control", ~c"no-store"},
    {~c"content-security-policy",
     ~c"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " ++
       ~c"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {~c"cross-origin-opener-policy", ~c"same-origin"},
    {~c"cross-origin-resource-policy", ~c"same-origin"},
    {~c"referrer-policy", ~c"no-referrer"},
    {~c"x-content-type-options", ~c"nosniff"},
    {~c"x-frame-options", ~c"DENY"}
  ]

  @impl true
  def response_default_headers, do: @always

  @impl true
  def request_header(header), do: {true, header}

  @impl true
  def response_header(header), do: {true, header}
end
