defmodule Snakepit.Endpoint.Page do
  @moduledoc false
  # The files of the live page. They are part of this module, so that none is read when it runs.

  @types %{
    "page.html" => "text/html; charset=utf-8",
    "page.css" => "text/css; charset=utf-8",
    "page.js" => "text/javascript; charset=utf-8",
    "format.js" => "text/javascript; charset=utf-8",
    "table.js" => "text/javascript; charset=utf-8",
    "icon.svg" => "image/svg+xml"
  }

  @doc """
  The type and the text of a file.
  """
  @spec asset(String.t()) :: {String.t(), String.t()}
  def asset(name)

  for {name, type} <- @types do
    path = Path.join([__DIR__, "page", name])
    @external_resource path
    @text File.read!(path)

    def asset(unquote(name)), do: {unquote(type), @text}
  end
end
