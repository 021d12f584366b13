defmodule Snakepit.Endpoint.Handler do
  @moduledoc false
  # What the HTTP server of OTP calls with each request: reads it, checks who asks, has it answered,
  # and gives the answer in the form that is expected there.

  require Logger
  require Record

  alias Snakepit.Endpoint.{Guard, Routes}

  Record.defrecordp(:mod, Record.extract(:mod, from_lib: "inets/include/httpd.hrl"))

  # A client that does not read must not hold a connection for good.
  @send_timeout 5_000

  @type request :: %{
          method: String.t(),
          path: [String.t()],
          headers: [{charlist(), charlist()}],
          context: map()
        }
  @type response ::
          {pos_integer(), content_type :: String.t(), iodata(), [{String.t(), String.t()}]}

  @doc """
  What is kept of a token, and compared.
  """
  @spec hash(String.t()) :: binary()
  def hash(token), do: :crypto.hash(:sha256, token)

  @doc false
  def unquote(:do)(mod() = mod) do
    :inet.setopts(mod(mod, :socket), send_timeout: @send_timeout, send_timeout_close: true)
    {status, type, body, headers} = answer(mod)
    body = IO.iodata_to_binary(body)

    head =
      [
        code: status,
        content_type: to_charlist(type),
        content_length: Integer.to_charlist(byte_size(body))
      ] ++ for({name, value} <- headers, do: {to_charlist(name), to_charlist(value)})

    body = if mod(mod, :method) == ~c"HEAD", do: [], else: [body]
    {:break, [response: {:response, head, body}]}
  end

  defp answer(mod) do
    with {:ok, request} <- request(mod),
         :ok <- Guard.check(request) do
      Routes.answer(request)
    else
      {:error, status, sentence} -> Routes.sentence(status, sentence)
    end
  rescue
    error ->
      Logger.error(
        "Snakepit's endpoint could not answer: " <>
          Exception.format(:error, error, __STACKTRACE__)
      )

      Routes.sentence(500, "Something went wrong here; the log has it.")
  end

  defp request(mod) do
    [path | _query] = mod |> mod(:request_uri) |> List.to_string() |> String.split("?", parts: 2)

    {:ok,
     %{
       method: List.to_string(mod(mod, :method)),
       path: path |> String.split("/", trim: true) |> Enum.map(&URI.decode/1),
       headers: mod(mod, :parsed_header),
       context: :httpd_util.lookup(mod(mod, :config_db), :snakepit)
     }}
  rescue
    # An escape that is none, or bytes beyond ASCII.
    _error in [ArgumentError, UnicodeConversionError] ->
      {:error, 400, "That is no path."}
  end
end
