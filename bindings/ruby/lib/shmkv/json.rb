# frozen_string_literal: true

require "json"

# Arrays and Hashes as JSON, without the losses that the json library lets pass. Spec
# 10.1 and 10.2. The extension calls json_encode and json_decode.
module ShmKV
  JSON_ERROR = JSON::JSONError
  INT64 = (-2**63..2**63 - 1).freeze
  DEEPEST = 512 # [VAL-07]
  private_constant :JSON_ERROR, :INT64, :DEEPEST

  class << self
    private

    # Refuse what JSON, or another language's reader of it, would not give back as it was.
    def json_check(value, above = [])
      case value
      when String
        json_check_string(value)
      when Symbol, true, false, nil
        nil
      when Integer
        refuse_value("an integer beyond 64 bits; store it as text") unless INT64.cover?(value)
      when Float
        refuse_value("NaN or infinity inside an Array or Hash") unless value.finite?
      when Array, Hash
        json_check_members(value, above)
      else
        raise TypeError, "an Array or Hash in a value cannot hold a #{value.class}"
      end
    end

    def json_check_string(string)
      return if string.valid_encoding? && (string.encoding != Encoding::BINARY || string.ascii_only?)

      refuse_value("a String inside an Array or Hash that is not valid text")
    end

    def json_check_members(value, above)
      refuse_value("an Array or Hash that contains itself") if above.any? { |outer| outer.equal?(value) }
      refuse_value("more than #{DEEPEST} Arrays and Hashes inside each other") if above.size >= DEEPEST
      above += [value]
      if value.is_a?(Hash)
        value.each_key do |name|
          raise TypeError, "a Hash in a value has String or Symbol keys, not #{name.class}" unless
            name.is_a?(String) || name.is_a?(Symbol)

          json_check_string(name.to_s)
        end
        refuse_value("a Hash with the same name twice, as String and Symbol") if
          value.keys.map(&:to_s).uniq.size != value.size
        value = value.values
      end
      value.each { |member| json_check(member, above) }
    end

    def json_encode(value)
      json_check(value)
      JSON.generate(value, max_nesting: 0)
    end

    def json_decode(text)
      JSON.parse(text, max_nesting: DEEPEST, create_additions: false)
    end
  end
end
