defmodule Snakepit.Test.Circuit do
  @moduledoc """
  Quantum circuits of gates, as text in OpenQASM 3 and as exact probabilities: one amplitude after
  the other, with no library, to check a simulator by.
  """

  import Bitwise

  @doc """
  A circuit of `count` gates drawn from a seed.
  """
  def random(qubits, count, seed) do
    state = :rand.seed_s(:exsss, seed)
    {gates, _state} = Enum.map_reduce(1..count, state, fn _, state -> gate(qubits, state) end)
    gates
  end

  defp gate(qubits, state) do
    {kind, state} = :rand.uniform_s(10, state)
    {first, state} = :rand.uniform_s(qubits, state)
    {step, state} = :rand.uniform_s(qubits - 1, state)
    {angle, state} = :rand.uniform_s(state)
    name = Enum.at(~w(h x z s t rx ry rz cx cz)a, kind - 1)
    {{name, Float.round(angle * 6, 3), first - 1, rem(first - 1 + step, qubits)}, state}
  end

  def to_qasm(gates, qubits) do
    """
    OPENQASM 3.0;
    qubit[#{qubits}] q;
    bit[#{qubits}] c;
    #{Enum.map_join(gates, "\n", &statement/1)}
    c = measure q;
    """
  end

  defp statement({name, angle, q, _other}) when name in [:rx, :ry, :rz],
    do: "#{name}(#{angle}) q[#{q}];"

  defp statement({name, _angle, control, q}) when name in [:cx, :cz],
    do: "#{name} q[#{control}], q[#{q}];"

  defp statement({name, _angle, q, _other}), do: "#{name} q[#{q}];"

  @doc """
  The probability of each outcome, whose last digit is qubit 0.
  """
  def probabilities(gates, qubits) do
    amplitudes = Enum.reduce(gates, %{0 => {1.0, 0.0}}, &apply_gate/2)

    for {index, {re, im}} <- amplitudes, into: %{} do
      {index |> Integer.to_string(2) |> String.pad_leading(qubits, "0"), re * re + im * im}
    end
  end

  defp apply_gate({:cx, _angle, control, q}, amplitudes) do
    Map.new(amplitudes, fn {index, amplitude} ->
      {if(one?(index, control), do: bxor(index, 1 <<< q), else: index), amplitude}
    end)
  end

  defp apply_gate({:cz, _angle, control, q}, amplitudes) do
    Map.new(amplitudes, fn {index, {re, im}} ->
      if one?(index, control) and one?(index, q),
        do: {index, {-re, -im}},
        else: {index, {re, im}}
    end)
  end

  # What the gate makes of 0 goes to both, and so does what it makes of 1.
  defp apply_gate({name, angle, q, _other}, amplitudes) do
    {from_0, from_1} = columns(name, angle)

    for {index, amplitude} <- amplitudes,
        {column, low} =
          if(one?(index, q), do: {from_1, index - (1 <<< q)}, else: {from_0, index}),
        {factor, to} <- Enum.zip(Tuple.to_list(column), [low, low + (1 <<< q)]),
        reduce: %{} do
      sums -> Map.update(sums, to, times(factor, amplitude), &plus(&1, times(factor, amplitude)))
    end
  end

  @half :math.sqrt(0.5)

  defp columns(:h, _), do: {{{@half, 0.0}, {@half, 0.0}}, {{@half, 0.0}, {-@half, 0.0}}}
  defp columns(:x, _), do: {{{0.0, 0.0}, {1.0, 0.0}}, {{1.0, 0.0}, {0.0, 0.0}}}
  defp columns(:z, _), do: phase({1.0, 0.0}, {-1.0, 0.0})
  defp columns(:s, _), do: phase({1.0, 0.0}, {0.0, 1.0})
  defp columns(:t, _), do: phase({1.0, 0.0}, {@half, @half})
  defp columns(:rz, a), do: phase({cos(a), -sin(a)}, {cos(a), sin(a)})

  defp columns(:rx, a),
    do: {{{cos(a), 0.0}, {0.0, -sin(a)}}, {{0.0, -sin(a)}, {cos(a), 0.0}}}

  defp columns(:ry, a),
    do: {{{cos(a), 0.0}, {sin(a), 0.0}}, {{-sin(a), 0.0}, {cos(a), 0.0}}}

  defp phase(zero, one), do: {{zero, {0.0, 0.0}}, {{0.0, 0.0}, one}}
  defp cos(angle), do: :math.cos(angle / 2)
  defp sin(angle), do: :math.sin(angle / 2)
  defp one?(index, q), do: (index >>> q &&& 1) == 1
  defp plus({a, b}, {c, d}), do: {a + c, b + d}
  defp times({a, b}, {c, d}), do: {a * c - b * d, a * d + b * c}
end
