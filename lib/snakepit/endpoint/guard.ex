defmodule Snakepit.Endpoint.Guard do
  @moduledoc false
  # Who may ask. A browser sends requests here in the name of any page it has open, so where they
  # come from is looked at: the name under which the endpoint was asked, so that no page can read it by
  # giving its own name this address, and for all that changes something the page and the token.

  alias Snakepit.Endpoint.Handler

  @type refusal :: {:error, pos_integer(), String.t()}

  @spec check(Handler.request()) :: :ok | refusal()
  def check(request) do
    with {:ok, host} <- host(request), do: check(request, host)
  end

  @doc """
  Whether the token was shown.
  """
  @spec token(Handler.request()) :: :ok | refusal()
  def token(%{context: %{token_hash: hash}} = request) do
    case header(request, ~c"x-snakepit-token") do
      [token] -> if same?(token, hash), do: :ok, else: wrong_token()
      _none -> wrong_token()
    end
  end

  # Of hashes, so that nothing is learnt from how long it takes, not even the length.
  defp same?(token, hash),
    do: token |> :erlang.list_to_binary() |> Handler.hash() |> :crypto.hash_equals(hash)

  defp wrong_token do
    {:error, 403,
     "To cancel takes the token that was given to the endpoint, or that is in the log of its start."}
  end

  defp check(%{method: method}, _host) when method in ["GET", "HEAD"], do: :ok

  defp check(request, host) do
    own = ["http://" <> host, "https://" <> host]

    foreign =
      Enum.any?(header(request, ~c"origin"), &(List.to_string(&1) not in own)) or
        Enum.any?(header(request, ~c"sec-fetch-site"), &(&1 in [~c"cross-site", ~c"same-site"]))

    if foreign, do: {:error, 403, "Another page may not ask for this."}, else: :ok
  end

  defp host(request) do
    with [value] <- header(request, ~c"host"),
         host = value |> List.to_string() |> String.downcase(),
         true <- known?(name(host), request.context.hosts) do
      {:ok, host}
    else
      _other ->
        {:error, 403,
         "The endpoint is not asked under this name. Use its IP address or localhost, or add the " <>
           "name to its option :hosts."}
    end
  end

  # Without the port, and without the brackets of an address with colons.
  defp name(host) do
    case Regex.run(~r/^(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::\d+)?$/, host, capture: :all_but_first) do
      [address] -> address
      ["", name] -> name
      nil -> ""
    end
  end

  defp known?("localhost", _hosts), do: true

  defp known?(name, hosts) do
    match?({:ok, _ip}, name |> String.to_charlist() |> :inet.parse_strict_address()) or
      name in Enum.map(hosts, &String.downcase/1)
  end

  defp header(%{headers: headers}, name), do: for({^name, value} <- headers, do: value)
end
