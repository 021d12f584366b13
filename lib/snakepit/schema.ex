defmodule Snakepit.Schema do
  @moduledoc false
  # One description of a set of options gives their validation, their defaults and
  # their documentation. A schema is a keyword list of
  # `name: [type: type, default: term, doc: "..."]`.

  @type type ::
          :pos_integer
          | :non_neg_integer
          | :milliseconds
          | :timeout
          | :string
          | :text
          | :directory
          | :atom
          | :boolean
          | :module
          | :port
          | :ip
          | :fraction
          | :env
          | :metadata
          | :map
          | :pid
          | {:function, arity()}
          | {:list, type()}
          | {:in, [term()]}
          | {:or, [type()]}
          | {:keyword, keyword()}
  @type t :: [{atom(), keyword()}]

  # Deadlines cross the wire as int32 milliseconds.
  @max_ms 2_147_483_647

  @doc """
  Checks `options` against the schema and returns them as a map, defaults filled in.
  Raises `ArgumentError` on an unknown key or a wrong value.
  """
  @spec validate!(Enumerable.t(), t(), String.t()) :: map()
  def validate!(options, schema, where) do
    given =
      for option <- options, into: %{} do
        check!(option, schema, where)
      end

    for {key, spec} <- schema, not is_map_key(given, key), into: given do
      {key, default(spec)}
    end
  end

  @doc """
  Checks one option and returns it as `{key, value}`, normalised.
  """
  @spec check!(term(), t(), String.t()) :: {atom(), term()}
  def check!({key, value}, schema, where) do
    case List.keyfind(schema, key, 0) do
      {^key, spec} ->
        case cast(spec[:type], value) do
          {:ok, value} -> {key, value}
          :error -> wrong_value!(key, value, spec[:type], where)
          {:nested, schema} -> {key, validate!(value, schema, "#{where} #{inspect(key)}")}
        end

      nil ->
        unknown_key!(key, Keyword.keys(schema), where)
    end
  end

  def check!(other, _schema, where) do
    raise ArgumentError, "#{where}: expected a keyword list, got the element #{inspect(other)}"
  end

  @doc """
  Takes a keyword list or a map with atoms as keys, and returns a keyword list.
  """
  @spec options!(term(), String.t()) :: keyword()
  def options!(options, where) do
    pairs = if is_map(options) and not is_struct(options), do: Map.to_list(options), else: options

    if Keyword.keyword?(pairs) do
      pairs
    else
      raise ArgumentError, "#{where} expected a keyword list or a map, got #{inspect(options)}"
    end
  end

  @doc """
  Raises `ArgumentError` when `key` is none of those that are known.
  """
  @spec known!(atom(), [atom()], String.t()) :: :ok
  def known!(key, known, where),
    do: if(key in known, do: :ok, else: unknown_key!(key, known, where))

  @doc """
  The schema as a Markdown list for a module's documentation.
  """
  @spec docs(t()) :: String.t()
  def docs(schema) do
    Enum.map_join(describe(schema), "\n", fn option ->
      default = if option.default, do: ", default `#{option.default}`"
      "  * `#{option.key}` (#{option.expected}#{default}) - #{option.doc}"
    end)
  end

  @doc """
  What there is to say of each option, as text; the default is nil if there is none.
  """
  @spec describe(t()) :: [
          %{key: String.t(), expected: String.t(), default: String.t() | nil, doc: String.t()}
        ]
  def describe(schema) do
    for {key, spec} <- schema do
      %{
        key: inspect(key),
        expected: expected(spec[:type]),
        default: default_text(spec[:default]),
        doc: spec[:doc]
      }
    end
  end

  @spec default(keyword()) :: term()
  defp default(spec) do
    case {spec[:default], spec[:type]} do
      {{:mfa, {module, function, args}}, _type} -> apply(module, function, args)
      {[], {:keyword, schema}} -> validate!([], schema, "")
      {value, _type} -> value
    end
  end

  defp default_text(nil), do: nil
  defp default_text({:mfa, {module, function, _args}}), do: "#{inspect(module)}.#{function}()"

  # As the formatter writes them, that is with underscores between thousands.
  defp default_text(value) when is_integer(value),
    do: value |> inspect() |> Code.format_string!() |> IO.iodata_to_binary()

  defp default_text(value), do: inspect(value)

  @spec unknown_key!(term(), [atom()], String.t()) :: no_return()
  defp unknown_key!(key, known, where) do
    suggestion =
      known
      |> Enum.map(&{String.jaro_distance(to_string(&1), key_text(key)), &1})
      |> Enum.max(fn -> {0.0, nil} end)

    hint =
      case suggestion do
        {distance, close} when distance > 0.75 -> ", did you mean #{inspect(close)}?"
        _far -> ", expected one of #{Enum.map_join(known, ", ", &inspect/1)}"
      end

    raise ArgumentError, "#{where}: unknown option #{inspect(key)}#{hint}"
  end

  defp key_text(key) when is_atom(key) or is_binary(key), do: to_string(key)
  defp key_text(key), do: inspect(key)

  @spec wrong_value!(term(), term(), type(), String.t()) :: no_return()
  defp wrong_value!(key, value, type, where) do
    raise ArgumentError,
          "#{where}: option #{inspect(key)} expected #{expected(type)}, got #{inspect(value)}"
  end

  defp cast(:pos_integer, v) when is_integer(v) and v > 0, do: {:ok, v}
  defp cast(:non_neg_integer, v) when is_integer(v) and v >= 0, do: {:ok, v}
  defp cast(:milliseconds, v) when is_integer(v) and v >= 0 and v <= @max_ms, do: {:ok, v}
  defp cast(:timeout, :infinity), do: {:ok, :infinity}
  defp cast(:timeout, v), do: cast(:milliseconds, v)
  defp cast(:string, v) when is_binary(v), do: {:ok, v}
  defp cast(:text, v) when is_binary(v) and v != "", do: {:ok, v}
  defp cast(:atom, v) when is_atom(v) and not is_nil(v), do: {:ok, v}
  defp cast(:boolean, v) when is_boolean(v), do: {:ok, v}
  defp cast(:module, v) when is_atom(v) and not is_nil(v) and not is_boolean(v), do: {:ok, v}
  defp cast(:port, v) when is_integer(v) and v in 1..65_535, do: {:ok, v}
  defp cast(:ip, v) when is_tuple(v), do: if(:inet.is_ip_address(v), do: {:ok, v}, else: :error)
  defp cast(:fraction, v) when is_number(v) and v >= 0 and v <= 1, do: {:ok, v}
  defp cast(:map, v) when is_map(v) and not is_struct(v), do: {:ok, v}
  defp cast(:pid, v) when is_pid(v), do: {:ok, v}
  defp cast({:function, arity}, v) when is_function(v, arity), do: {:ok, v}
  defp cast({:in, values}, v), do: if(v in values, do: {:ok, v}, else: :error)

  # An application's own directory differs from where the VM was started, in a release for instance.
  defp cast(:directory, {app, v}) when is_atom(app) and is_binary(v) do
    case :code.lib_dir(app) do
      {:error, :bad_name} -> :error
      directory -> {:ok, Path.join(directory, v)}
    end
  end

  defp cast(:directory, v), do: cast(:string, v)

  defp cast({:list, type}, v) when is_list(v) do
    cast = Enum.map(v, &cast(type, &1))

    if Enum.all?(cast, &match?({:ok, _}, &1)),
      do: {:ok, Enum.map(cast, &elem(&1, 1))},
      else: :error
  end

  defp cast({:or, types}, v), do: Enum.find_value(types, :error, &found(cast(&1, v)))

  defp cast({:keyword, schema}, v) when is_map(v) and not is_struct(v), do: {:nested, schema}

  defp cast({:keyword, schema}, v) when is_list(v),
    do: if(Keyword.keyword?(v), do: {:nested, schema}, else: :error)

  defp cast(type, v) when type in [:env, :metadata] and (is_map(v) or is_list(v)),
    do: string_pairs(v)

  defp cast(_type, _value), do: :error

  defp found(:error), do: nil
  defp found(result), do: result

  defp string_pairs(pairs) do
    if not is_struct(pairs) and Enum.all?(pairs, &string_pair?/1),
      do: {:ok, Map.new(pairs, fn {key, value} -> {to_string(key), value} end)},
      else: :error
  end

  defp string_pair?({key, value}),
    do: (is_binary(key) or (is_atom(key) and not is_nil(key))) and is_binary(value)

  defp string_pair?(_other), do: false

  defp expected(:pos_integer), do: "a positive integer"
  defp expected(:non_neg_integer), do: "a non-negative integer"
  defp expected(:milliseconds), do: "a number of milliseconds"
  defp expected(:timeout), do: "a number of milliseconds or :infinity"
  defp expected(:string), do: "a string"
  defp expected(:text), do: "a string that is not empty"

  defp expected(:directory),
    do: "a directory or {:application, directory} of an application that is there"

  defp expected(:atom), do: "an atom"
  defp expected(:boolean), do: "true or false"
  defp expected(:module), do: "a module"
  defp expected(:port), do: "a port number"
  defp expected(:ip), do: "an IP address like {127, 0, 0, 1}"
  defp expected(:fraction), do: "a number from 0 to 1"
  defp expected(:env), do: "names and values as strings"
  defp expected(:metadata), do: "a map of strings"
  defp expected(:map), do: "a map"
  defp expected(:pid), do: "a process"
  defp expected({:function, 1}), do: "a function of one argument"
  defp expected({:function, arity}), do: "a function of #{arity} arguments"
  defp expected({:list, type}), do: "a list, each #{expected(type)}"
  defp expected({:in, values}), do: "one of " <> Enum.map_join(values, ", ", &inspect/1)
  defp expected({:or, types}), do: Enum.map_join(types, " or ", &expected/1)
  defp expected({:keyword, schema}), do: "options " <> inspect(Keyword.keys(schema))
end
